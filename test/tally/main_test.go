package main

import (
	"strings"
	"testing"
)

// A wrong count lets a broken build through as a good one.
func TestTally(t *testing.T) {
	for _, c := range []struct {
		name, in, last string
		ok             bool
		shows          string
	}{
		{"nothing ran", ``, "0 passed, 0 failed", false, ""},
		{"pass", `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA/sub"}
{"Action":"pass","Package":"p","Elapsed":1}`, "1 passed, 0 failed", true, "ok    p 1.0s"},
		{"fail", `{"Action":"output","Package":"p","Test":"TestA/sub","Output":"boom\n"}
{"Action":"fail","Package":"p","Test":"TestA/sub"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}`, "1 passed, 1 failed", false, "boom"},
		{"why it failed", `{"Action":"output","Package":"p","Test":"TestA/sub","Output":"    a_test.go:7: 3, want 4\n"}
{"Action":"output","Package":"p","Test":"TestA/sub","Output":"        time=12 level=INFO msg=noise\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"q","Test":"TestB","Elapsed":9}`, "1 passed, 1 failed", false, "slow  q TestB 9.0s\nwhy   p TestA: a_test.go:7: 3, want 4\n1 passed"},
		{"does not build", `{"ImportPath":"p [p.test]","Action":"build-output","Output":"undefined: x\n"}
{"Action":"fail","Package":"p","FailedBuild":"p [p.test]"}
{"Action":"pass","Package":"q","Test":"TestB"}`, "1 passed, 1 failed", false, "undefined: x"},
		{"panics", `{"Action":"output","Package":"p","Test":"TestA","Output":"panic: oh\n"}
{"Action":"fail","Package":"p"}`, "0 passed, 1 failed", false, "panic: oh"},
		{"skips", `{"Action":"output","Package":"p","Test":"TestA","Output":"no peer\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`, "0 passed, 1 failed", false, "no peer"},
		{"no test files", `{"Action":"skip","Package":"p"}
{"Action":"pass","Package":"q","Test":"TestB"}`, "1 passed, 0 failed", true, ""},
	} {
		var b strings.Builder
		tl := newTally(&b)
		if err := tl.read(strings.NewReader(c.in)); err != nil {
			t.Fatal(err)
		}
		ok := tl.finish()
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if ok != c.ok || lines[len(lines)-1] != c.last || !strings.Contains(b.String(), c.shows) {
			t.Errorf("%s: ok %v, said\n%s\nwant ok %v, %q last and %q in it", c.name, ok, b.String(), c.ok, c.last, c.shows)
		}
	}
}
