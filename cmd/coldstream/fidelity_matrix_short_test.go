//go:build !long

package main

// matrixShapes are those of TestMatrix: here each batch has records of all shapes.
func matrixShapes() []string { return []string{"mixed"} }
