package main

import "testing"

// Users' own topics may begin with two underscores. A backup takes them by name, and from then on
// they are topics like others.
func TestTopicsWithTwoUnderscores(t *testing.T) {
	w := newWorld(t)
	w.fill("__mine", 2, 10)
	w.fill("plain", 1, 10)
	w.run("backup", "-b", w.bootstrap, "-t", "__m*").must(t, exitUsage).says(t, "chosen by their name alone")
	w.backup("__mine", "plain")
	want := w.read("__mine")
	for _, name := range []string{"__mine", "plain"} {
		w.delete(name)
	}
	w.await("the topics are gone", func() bool { return !w.exists("__mine") && !w.exists("plain") })
	r := w.restore("--all-topics")
	same(t, "partitions", len(r.Partitions), 3)
	sameContent(t, w.read("__mine"), want)
	sameContent(t, w.read(w.restoreAs("__mine", "__copy")), want)
}
