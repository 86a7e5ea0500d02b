//go:build long

package main

// matrixShapes are those of TestMatrix: here batches of each shape by itself, and of all together.
func matrixShapes() []string { return append(recordShapes(), "mixed") }
