package cloudevents

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel.dev/bus"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func message() (bus.Header, []byte) {
	return bus.Header{
		{Name: "Ek-To", Value: "*"}, {Name: "Ek-From", Value: "slo.3"}, {Name: "ce-specversion", Value: "1.0"}, {Name: "ce-id", Value: "slo.3.17"},
		{Name: "ce-source", Value: "/evenkeel/slo/3"}, {Name: "ce-type", Value: "dev.evenkeel.slo.alert.v1"}, {Name: "ce-subject", Value: "shop/checkout/a \"b\""},
		{Name: "ce-time", Value: "2026-01-02T15:04:05.000Z"}, {Name: "content-type", Value: "application/json"}, {Name: "ce-zone", Value: "eu"},
	}, []byte(`{"a": 1}`)
}

func TestStructured(t *testing.T) {
	// What "evenkeel events -o json" prints would be no CloudEvent for other programs.
	e, err := From(message())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetExtension("sequence", "17"); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(e)
	want := `{"specversion":"1.0","id":"slo.3.17","source":"/evenkeel/slo/3","type":"dev.evenkeel.slo.alert.v1","subject":"shop/checkout/a \"b\"","time":"2026-01-02T15:04:05.000Z",` +
		`"datacontenttype":"application/json","sequence":"17","zone":"eu","data":{"a":1}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	back, err := Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	e.Data = []byte(`{"a":1}`)
	if diff := cmp.Diff(e, back); diff != "" {
		t.Error(diff)
	}
	again, err := From(back.Header(), back.Data)
	if diff := cmp.Diff(back, again); diff != "" || err != nil {
		t.Error(diff, err)
	}
	through, err := From(bus.Header{{Name: "Content-Type", Value: "application/cloudevents+json"}}, got)
	if diff := cmp.Diff(back, through); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestOtherProducers(t *testing.T) {
	// An event with binary data, or with attributes of other types, would be lost or changed on its way.
	for text, want := range map[string]Event{
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AAE=","datacontenttype":"image/png"}`: {ID: "1", Source: "s", Type: "t", DataContentType: "image/png", Data: []byte{0, 1}},
		`{"specversion":"1.0","id":"1","source":"s","type":"t","n":5,"flag":true,"none":null,"data":null}`: {
			ID: "1", Source: "s", Type: "t", Extensions: []bus.Field{{Name: "flag", Value: "true"}, {Name: "n", Value: "5"}, {Name: "none", Value: ""}},
		},
	} {
		got, err := Parse([]byte(text))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
		out, err := json.Marshal(got)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if back, err := Parse(out); err != nil || !bytes.Equal(back.Data, want.Data) {
			t.Errorf("%s came back as %s: %v", text, out, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	// What is no CloudEvent would be handed on as one.
	for _, bad := range []string{
		"", "[]", `{}`, `{"specversion":"0.3","id":"1","source":"s","type":"t"}`, `{"specversion":"1.0","source":"s","type":"t"}`, `{"specversion":"1.0","id":"1","type":"t"}`,
		`{"specversion":"1.0","id":"1","source":"s"}`, `{"specversion":"1.0","id":"1","source":"s","type":"t","time":"yesterday"}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","dataschema":"relative"}`, `{"specversion":"1.0","id":"1","source":"s","type":"t","Bad_Name":"x"}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","x":{}}`, `{"specversion":"1.0","id":"1","source":"s","type":"t","x":1.5}`, `{"specversion":"1.0","id":"1","source":":%","type":"t"}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"%"}`,
	} {
		if e, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%s was taken as %+v", bad, e)
		}
	}
	if _, err := From(bus.Header{{Name: "ce-id", Value: "1"}}, nil); err == nil {
		t.Error("headers without specversion were taken")
	}
	h, _ := message()
	if _, err := From(h, []byte("no JSON")); err == nil {
		t.Error("data that is not JSON was taken")
	}
	for i := range 100 {
		h = append(h, bus.Field{Name: fmt.Sprint("ce-x", i), Value: "1"})
	}
	if _, err := From(h, []byte("{}")); err == nil {
		t.Error("a hundred attributes were taken")
	}
}

func FuzzParse(f *testing.F) {
	// A strange event would stop who reads it.
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{"a":[1]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			return
		}
		_ = Line(&e)
		out, err := json.Marshal(e)
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", b, err)
		}
		if _, err := Parse(out); err != nil {
			t.Fatalf("%q is written as %q: %v", b, out, err)
		}
	})
}

func TestAsyncAPIGolden(t *testing.T) {
	// The published document would say something else than the code, or change without anybody seeing it.
	got, err := AsyncAPI()
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, filepath.Join("testdata", "asyncapi.json"), got)
	again, err := AsyncAPI()
	if err != nil || !bytes.Equal(got, again) {
		t.Error("the document differs from call to call")
	}
	checkRefs(t, got)
}

// checkRefs looks whether each $ref of a document leads somewhere.
func checkRefs(t *testing.T, b []byte) {
	t.Helper()
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				n++
				at := doc
				for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[part]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	if n < 15 {
		t.Errorf("only %d references found", n)
	}
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; run with -update and look at the change:\n%s", path, got)
	}
}

func TestLines(t *testing.T) {
	// "evenkeel events" would show people JSON, or something else than happened.
	types, err := Types()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, typ := range types {
		e := Event{ID: "1", Source: "/evenkeel/slo/3", Type: typ.Name, Subject: typ.exampleAbout(), Time: "2026-01-02T15:04:05.000Z", Data: typ.Example}
		fmt.Fprintln(&b, Line(&e))
		if strings.Contains(Line(&e), "{") {
			t.Errorf("%s has no line of its own", typ.Name)
		}
	}
	e := Event{Type: "dev.evenkeel.new.thing.v1", Subject: "a", Time: "2026-01-02T15:04:05.000Z", Data: []byte("{\n\"a\": 1}")}
	fmt.Fprintln(&b, Line(&e))
	compareGolden(t, filepath.Join("testdata", "lines.txt"), b.Bytes())
}

func TestLineIsHarmless(t *testing.T) {
	// A name in an event could clear the terminal of who looks at it, or fill it.
	for _, e := range []Event{
		{Type: "dev.evenkeel.slo.alert.v1", Subject: "a\x1b[2J", Data: []byte(`{"tier":"x\u001b]0;title\u0007","state":"\u202e\r\n"}`)},
		{Type: "other", Data: []byte("\x1b[31m" + strings.Repeat("x", 10_000))},
		{Type: "dev.evenkeel.slo.status.v1", Data: []byte(`{"state":5}`)},
	} {
		line := Line(&e)
		if strings.ContainsAny(line, "\x1b\x07\r\n\u202e") || len(line) > lineMax+3 {
			t.Errorf("%q", line)
		}
	}
}
