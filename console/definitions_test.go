package console

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evenkeel.dev/mesh"
)

// If it fails, scripts that apply definitions cannot tell what became of them, or where the mistake is.
func TestApplyShapes(t *testing.T) {
	ref := mesh.Ref{APIVersion: "openslo/v1", Kind: "SLO", Namespace: "default", Name: "x"}
	f := &fakes{answer: ApplyAnswer{Objects: []ObjectAction{{Ref: ref, Action: ActionCreated}}, Revision: 8}}
	s := newTestServer(t, f, nil)
	w := ask(s, "POST", "/api/v1/definitions?dryRun&takeOwnership=true&expectRevision=7", tokenAuthor, "kind: SLO\n")
	golden(t, "applied.json", w.Body.Bytes())
	want := ApplyRequest{
		Files: []File{{Name: "body", Text: "kind: SLO\n"}}, By: Identity{Name: "a", Role: Author}, DryRun: true, TakeOwnership: true, ExpectRevision: ptr(uint64(7)),
	}
	if diff := cmp.Diff([]ApplyRequest{want}, f.applied); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	f.answer = ApplyAnswer{Problems: []mesh.Problem{{File: "a.yaml", Line: 3, Column: 7, Path: "spec.x", Message: "unknown field \"x\"", Hint: "did you mean \"y\"?"}}}
	w = ask(s, "POST", "/api/v1/definitions", tokenAuthor, "")
	if w.Code != http.StatusUnprocessableEntity {
		t.Errorf("mistakes: status %d", w.Code)
	}
	golden(t, "problems.json", w.Body.Bytes())
	f.answer, f.err = ApplyAnswer{}, Fail(http.StatusConflict, mesh.ReasonOwnedByOther, "SLO default/x is managed by dir:slos", nil)
	w = ask(s, "POST", "/api/v1/definitions", tokenAuthor, "")
	if w.Code != http.StatusConflict {
		t.Errorf("another owner: status %d", w.Code)
	}
	golden(t, "conflict.json", w.Body.Bytes())
}

// If it fails, a wrong query is taken for another one, or a huge body fills the memory.
func TestApplyRefusesWrongUsage(t *testing.T) {
	f := &fakes{}
	s := newTestServer(t, f, nil)
	for path, want := range map[string]int{
		"/api/v1/definitions?dryRun=maybe":      http.StatusBadRequest,
		"/api/v1/definitions?expectRevision=-1": http.StatusBadRequest,
		"/api/v1/nothing":                       http.StatusNotFound,
	} {
		if w := ask(s, "POST", path, tokenAuthor, ""); w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
	if w := ask(s, "POST", "/api/v1/definitions", tokenAuthor, strings.Repeat("x", MaxDefinitionsBody+1)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body over the bound: status %d", w.Code)
	}
	if len(f.applied) != 0 {
		t.Errorf("something was applied: %+v", f.applied)
	}
}

// If it fails, several files of one apply lose their names, and mistakes are shown in the wrong file.
func TestApplySeveralFiles(t *testing.T) {
	f := &fakes{}
	s := newTestServer(t, f, nil)
	r := newRequest("POST", "/api/v1/definitions", tokenAuthor, `{"files":[{"name":"a.yaml","text":"1"},{"name":"b.yaml","text":"2"}]}`)
	r.Header.Set("Content-Type", FilesType)
	w := serve(s, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if diff := cmp.Diff([]File{{"a.yaml", "1"}, {"b.yaml", "2"}}, f.applied[0].Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// If it fails, a viewer of one global namespace reads another's definitions, or an object of two API versions is deleted by chance.
func TestReadAndDeleteDefinitions(t *testing.T) {
	def := func(version, name, gns string) mesh.Definition {
		return mesh.Definition{Ref: mesh.Ref{APIVersion: version, Kind: "SLO", Namespace: "default", Name: name}, GlobalNamespace: gns, Spec: []byte(`{"a":1}`)}
	}
	f := &fakes{definitions: []mesh.Definition{def("openslo/v1", "x", "shop"), def("openslo/v1", "y", "bank"), def("evenkeel.dev/v1beta1", "y", "bank")}}
	s := newTestServer(t, f, nil)
	golden(t, "definitions.json", ask(s, "GET", "/api/v1/definitions", tokenShopViewer, "").Body.Bytes())
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/api/v1/definitions/SLO/default/x", tokenShopViewer, http.StatusOK},
		{"GET", "/api/v1/definitions/SLO/default/y", tokenShopViewer, http.StatusNotFound},
		{"GET", "/api/v1/definitions/SLO/default/y", tokenViewer, http.StatusConflict},
		{"GET", "/api/v1/definitions/SLO/default/y?apiVersion=openslo/v1", tokenViewer, http.StatusOK},
		{"DELETE", "/api/v1/definitions/SLO/default/y", tokenAuthor, http.StatusConflict},
		{"DELETE", "/api/v1/definitions/SLO/default/z", tokenAuthor, http.StatusNotFound},
		{"DELETE", "/api/v1/definitions/SLO/default/x?dryRun=oh", tokenAuthor, http.StatusBadRequest},
		{"DELETE", "/api/v1/definitions/SLO/default/x?confirmed", tokenAuthor, http.StatusOK},
	} {
		if w := ask(s, c.method, c.path, c.token, ""); w.Code != c.want {
			t.Errorf("%s %s: status %d, want %d: %s", c.method, c.path, w.Code, c.want, w.Body)
		}
	}
	want := []DeleteRequest{{Refs: []mesh.Ref{f.definitions[0].Ref}, By: Identity{Name: "a", Role: Author}, Confirmed: true}}
	if diff := cmp.Diff(want, f.deleted); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
}

// If it fails, what people see before they apply is not what changes.
func TestDiff(t *testing.T) {
	lines := func(ss ...string) string { return strings.Join(ss, "\n") + "\n" }
	for _, c := range []struct{ name, a, b, want string }{
		{"equal", "a\n", "a\n", ""},
		{"one line in the middle", lines("1", "2", "3", "4", "5", "6", "7", "8", "9"), lines("1", "2", "3", "4", "x", "6", "7", "8", "9"),
			lines("--- A", "+++ B", "@@ -2,7 +2,7 @@", " 2", " 3", " 4", "-5", "+x", " 6", " 7", " 8")},
		{"new", "", lines("1", "2"), lines("--- A", "+++ B", "@@ -0,0 +1,2 @@", "+1", "+2")},
		{"gone", lines("1"), "", lines("--- A", "+++ B", "@@ -1,1 +0,0 @@", "-1")},
		{"two places far apart", lines("a", "1", "2", "3", "4", "5", "6", "7", "z"), lines("b", "1", "2", "3", "4", "5", "6", "7", "y"),
			lines("--- A", "+++ B", "@@ -1,4 +1,4 @@", "-a", "+b", " 1", " 2", " 3", "@@ -6,4 +6,4 @@", " 5", " 6", " 7", "-z", "+y")},
		{"inserted", lines("1", "2"), lines("1", "x", "2"), lines("--- A", "+++ B", "@@ -1,2 +1,3 @@", " 1", "+x", " 2")},
	} {
		if diff := cmp.Diff(c.want, Diff("A", c.a, "B", c.b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	f := &fakes{}
	if w := ask(newTestServer(t, f, nil), "POST", "/api/v1/definitions/diff", tokenViewer, "x"); w.Code != http.StatusOK || !f.applied[0].DryRun || !f.applied[0].Diff {
		t.Errorf("diff over the API: status %d, request %+v", w.Code, f.applied)
	}
}

// If it fails, two huge texts stop the server while it compares them.
func TestDiffOfHugeTextsIsBounded(t *testing.T) {
	a, b := strings.Repeat("a\n", 20_000), strings.Repeat("b\n", 20_000)
	if got := Diff("A", a, "B", b); strings.Count(got, "\n-a") != 20_000 || strings.Count(got, "\n+b") != 20_000 {
		t.Error("the texts are not shown as replaced")
	}
}
