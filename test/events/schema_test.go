// Package events holds the published schemas of events against what is really sent, and the way of an alert from the log to a receiver.
package events

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel.dev/bus"
	"evenkeel.dev/bus/cloudevents"
	"evenkeel.dev/mesh"
	"evenkeel.dev/mesh/calls"
	"evenkeel.dev/mesh/inventory"
	"evenkeel.dev/slo"
	"evenkeel.dev/slo/notify"
)

// A schema is the part of JSON Schema that the published ones use; any other keyword is a mistake.
type schema struct {
	Schema      string            `json:"$schema"`
	ID          string            `json:"$id"`
	Description string            `json:"description"`
	Types       any               `json:"type"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
	Items       *schema           `json:"items"`
	Additional  *schema           `json:"additionalProperties"`
	Enum        []any             `json:"enum"`
	Pattern     string            `json:"pattern"`
	Format      string            `json:"format"`
	Minimum     *float64          `json:"minimum"`
	Maximum     *float64          `json:"maximum"`
	Examples    []any             `json:"examples"`
}

func readSchema(t *testing.T, raw []byte) schema {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	var s schema
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *schema) types() []string {
	switch v := s.Types.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, fmt.Sprint(x))
		}
		return out
	}
	return nil
}

// validate returns where and why v does not fit.
func (s *schema) validate(path string, v any) []string {
	kind := kindOf(v)
	if !slices.Contains(s.types(), kind) && (kind != "integer" || !slices.Contains(s.types(), "number")) {
		return []string{fmt.Sprintf("%s is %s, want %v", path, kind, s.types())}
	}
	var bad []string
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		bad = append(bad, fmt.Sprintf("%s is %v, want one of %v", path, v, s.Enum))
	}
	switch v := v.(type) {
	case string:
		if s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) {
			bad = append(bad, path+" does not fit "+s.Pattern)
		}
		if _, err := time.Parse(time.RFC3339, v); s.Format == "date-time" && err != nil {
			bad = append(bad, path+" is no time")
		}
	case float64:
		if s.Minimum != nil && v < *s.Minimum || s.Maximum != nil && v > *s.Maximum {
			bad = append(bad, fmt.Sprintf("%s is %v, out of range", path, v))
		}
	case []any:
		for i, x := range v {
			bad = append(bad, s.Items.validate(fmt.Sprintf("%s[%d]", path, i), x)...)
		}
	case map[string]any:
		bad = append(bad, s.validateObject(path, v)...)
	}
	return bad
}

func (s *schema) validateObject(path string, v map[string]any) []string {
	var bad []string
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			bad = append(bad, path+"."+name+" is missing")
		}
	}
	for name, x := range v {
		p, ok := s.Properties[name]
		switch {
		case ok:
			bad = append(bad, p.validate(path+"."+name, x)...)
		case s.Additional != nil:
			bad = append(bad, s.Additional.validate(path+"."+name, x)...)
		default:
			bad = append(bad, path+"."+name+" is not in the schema")
		}
	}
	return bad
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

// compare returns where a struct's JSON form and the schema differ: names, types, what is always there.
func compare(path string, t reflect.Type, s *schema) []string {
	var bad []string
	nullable := t.Kind() == reflect.Pointer
	if nullable {
		t = t.Elem()
	}
	want := jsonKind(t)
	have := slices.DeleteFunc(s.types(), func(k string) bool { return k == "null" })
	if !slices.Equal(have, []string{want}) {
		bad = append(bad, fmt.Sprintf("%s is %s in Go and %v in the schema", path, want, s.types()))
	}
	if s.Description == "" && !strings.HasSuffix(path, "[]") {
		bad = append(bad, path+" has no description")
	}
	switch {
	case want == "array":
		return append(bad, compare(path+"[]", t.Elem(), s.Items)...)
	case want == "object" && t.Kind() == reflect.Map:
		return append(bad, compare(path+"[]", t.Elem(), s.Additional)...)
	case want != "object":
		return bad
	}
	fields := jsonFields(t)
	for name, f := range fields {
		p, ok := s.Properties[name]
		if !ok {
			bad = append(bad, path+"."+name+" is not in the schema")
			continue
		}
		if f.always != slices.Contains(s.Required, name) {
			bad = append(bad, fmt.Sprintf("%s.%s: always there: %t in Go, %t in the schema", path, name, f.always, !f.always))
		}
		null := f.always && (f.typ.Kind() == reflect.Pointer || f.typ.Kind() == reflect.Slice)
		if null != slices.Contains(p.types(), "null") {
			bad = append(bad, fmt.Sprintf("%s.%s: may be null: %t in Go, the schema says otherwise", path, name, null))
		}
		bad = append(bad, compare(path+"."+name, f.typ, &p)...)
	}
	for name := range s.Properties {
		if _, ok := fields[name]; !ok {
			bad = append(bad, path+"."+name+" is in the schema only")
		}
	}
	return bad
}

type field struct {
	typ    reflect.Type
	always bool
}

func jsonFields(t reflect.Type) map[string]field {
	out := map[string]field{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "":
			for n, x := range jsonFields(f.Type) {
				out[n] = x
			}
		default:
			out[name] = field{f.Type, !strings.Contains(options, "omit")}
		}
	}
	return out
}

func jsonKind(t reflect.Type) string {
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return "string"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	}
	if t.ConvertibleTo(reflect.TypeFor[int64]()) {
		return "integer"
	}
	return t.String()
}

// samples are the structs that are sent, by event type: an empty one, but for what is always set, and a full one.
func samples() map[string][]any {
	ratio, rate, sli := -0.5, 3.5, slo.MustDecimal("0.9993")
	window := slo.Window{Type: "rolling", Duration: slo.Duration(30 * bus.Day)}
	month := slo.NewCalendarWindow(slo.Calendar{Unit: slo.UnitMonth, Count: 1, Start: "2026-01-01 00:00:00", Zone: slo.Zone{Name: "Europe/Berlin"}})
	pair := &slo.AlertPair{Long: slo.Duration(bus.Hour), Short: slo.Duration(5 * bus.Minute), Factor: slo.MustDecimal("14.4"), LongRate: 20, ShortRate: 30.5}
	budget := slo.Budget{Total: 10, Consumed: 15, Remaining: -5, RemainingRatio: &ratio}
	at := bus.Time(1_800_000_000_000)
	return map[string][]any{
		slo.AlertEventType: {
			slo.AlertEvent{ID: "a", State: slo.AlertPending, StartsAt: at.String(), Window: window},
			slo.AlertEvent{
				ID: "a", GlobalNamespace: "shop", Service: "s", SLO: "o", DisplayName: "d", Tier: "page", Severity: "page", State: slo.AlertResolved, Reason: "BurnRateLow",
				StartsAt: at.String(), EndsAt: at.String(), Objective: sli, Window: window, Pair: pair, Budget: budget, Notify: []string{"a"}, Runbook: "https://r.example.com",
				Annotations: map[string]string{"a": "b"}, Excluded: &slo.Excluded{Seconds: 60},
			},
		},
		slo.CorrectionEventType: {
			slo.CorrectionEvent{Reason: slo.ReasonLateData, From: slo.Moment(at), Until: slo.Moment(at), Objective: sli, Window: window},
			slo.CorrectionEvent{
				GlobalNamespace: "shop", Service: "s", SLO: "o", Reason: slo.ReasonExclusionApplied, Message: "m", From: slo.Moment(at), Until: slo.Moment(at), Seconds: 60,
				Exclusion: &mesh.Ref{Kind: slo.KindExclusion}, Why: "w", Objective: sli, Window: month,
				Before: slo.Corrected{Events: slo.Events{Good: 1, Total: 2}, Budget: budget}, After: slo.Corrected{Budget: budget}, ErrorMax: 1.5,
				Alerts: []slo.Differed{{Tier: "page", Severity: "page", At: slo.Moment(at), Fired: true, Pair: pair, Was: pair}},
			},
		},
		inventory.EventCluster: {
			inventory.ClusterEvent{State: inventory.ClusterReady},
			inventory.ClusterEvent{Cluster: "c", State: inventory.ClusterDark, Reason: "NothingHeard", Previous: inventory.ClusterReady, Version: "v1", LastLook: at.String(), Objects: 3, Left: 1},
		},
		inventory.EventEnrolment: {
			inventory.EnrolmentEvent{Action: inventory.ActionAccepted, Reason: inventory.EnrolmentAccepted},
			inventory.EnrolmentEvent{Action: inventory.ActionRefused, Cluster: "c", Reason: inventory.RefusedTokenUsed, Key: "k", Holder: "h", From: "192.0.2.1"},
		},
		inventory.EventNode: {
			inventory.NodeEvent{Action: inventory.ActionCreated},
			inventory.NodeEvent{Action: inventory.ActionUpdated, Cluster: "c", Node: inventory.Node{Name: "n", Labels: map[string]string{"a": "b"}, Version: "v1", Ready: true, Reason: "r", Region: "r", Zone: "z"}},
		},
		inventory.EventService: {
			inventory.ServiceEvent{Action: inventory.ActionDeleted, State: inventory.StateHealthy},
			inventory.ServiceEvent{
				Action: inventory.ActionUpdated, GlobalNamespace: "g", Service: "s", Cluster: "c", Namespace: "n", State: inventory.StateError, Reason: "r", Desired: 2, Ready: 1,
				Versions: []inventory.Version{{Name: "v1", State: inventory.StateWarning, Reason: "r", Instances: 2, Ready: 1, Images: []string{"i"}}}, Hosts: []string{"h"},
			},
		},
		inventory.EventInstance: {
			inventory.InstanceEvent{Action: inventory.ActionDeleted, Instance: inventory.Instance{State: inventory.StateUnknown}},
			inventory.InstanceEvent{Action: inventory.ActionCreated, GlobalNamespace: "g", Cluster: "c", Instance: inventory.Instance{
				Namespace: "n", Name: "p", Service: "s", Version: "v", Workload: "Deployment/s", Node: "n", IP: "10.0.0.1", Account: "a", Identity: "spiffe://t/ns/n/sa/a",
				Images: []inventory.Image{{Container: "c", Name: "i", Digest: "sha256:0"}}, State: inventory.StateWarning, Reason: "r", Done: true, Sidecar: true, Restarts: 1, Created: at,
				Labels: map[string]string{"a": "b"},
			}},
		},
		inventory.EventMember: {
			inventory.MemberEvent{Action: inventory.ActionJoined}, inventory.MemberEvent{Action: inventory.ActionLeft, GlobalNamespace: "g", Cluster: "c", Namespace: "n"},
		},
		inventory.EventGroup: {
			inventory.GroupEvent{Kind: "Service"},
			inventory.GroupEvent{GlobalNamespace: "g", Group: "x", Kind: "Node", Count: 1, Joined: []inventory.GroupResource{{Cluster: "c", Namespace: "n", Name: "x"}}, Left: []inventory.GroupResource{{Name: "y"}}},
		},
		calls.EventCall: {
			calls.CallEvent{Action: calls.ActionCreated, Seen: calls.SideTraces.String()},
			calls.CallEvent{Action: calls.ActionPlaintext, GlobalNamespace: "g", Service: "s", Cluster: "c", Namespace: "n", Call: "1", Caller: &calls.Caller{GlobalNamespace: "g", Cluster: "c", Namespace: "n", Service: "s", Principal: "p"}, Seen: "destination"},
		},
		slo.StatusEventType: {
			slo.StatusEvent{Status: slo.Status{State: slo.StateUnknown, Window: window, Method: slo.MethodOccurrences}},
			slo.StatusEvent{Previous: slo.StateHealthy, Status: slo.Status{
				State: slo.StateWarning, Window: month, Method: slo.MethodTimeslices, Slice: slo.Duration(bus.Minute), Slices: 44640, SLIBad: true,
				Forecast: &slo.Forecast{Window: slo.Duration(bus.Hour), In: slo.Duration(bus.Day), Early: slo.Duration(bus.Hour), Late: slo.Duration(2 * bus.Day)},
				Period:   &slo.Period{From: slo.Moment(at), Until: slo.Moment(at + 31*bus.Day)},
				Groups:   &slo.Groups{By: []string{"region"}, Count: 2, Max: 3, Ungrouped: 4, Reason: slo.ReasonGroupLimit}, RollUp: "r", Group: map[string]string{"region": "eu"},
				Excluded: &slo.Excluded{Seconds: 60, Now: true, Until: slo.Moment(at), Name: "default/a", Reason: "r"},
				SLI:      &sli, Events: slo.Events{Good: 1, Total: 2}, Budget: budget, Coverage: 1, AsOf: slo.Moment(at),
				BurnRates: []slo.BurnRate{{Window: slo.Duration(bus.Hour), Rate: &rate}, {Window: slo.Duration(bus.Day)}}, Alerts: []slo.AlertStatus{{Tier: "page", State: slo.AlertFiring, Since: slo.Moment(at)}},
			}},
		},
		mesh.DefinitionEventType: {mesh.DefinitionEvent{Action: mesh.ActionDeleted}, mesh.DefinitionEvent{Action: mesh.ActionCreated, Ref: mesh.Ref{Kind: "SLO"}, Revision: 1, Generation: 2}},
		notify.DeadEventType: {
			notify.DeadEvent{Reason: notify.DeadNoTarget, State: slo.AlertFiring},
			notify.DeadEvent{Reason: notify.DeadRejected, State: slo.AlertResolved, Target: "t", Type: "slack", Message: "m", Status: 404, Attempts: 3},
		},
		notify.SilenceEventType: {
			notify.SilenceEvent{Action: notify.SilenceCreated, StartsAt: at.String(), EndsAt: at.String()},
			notify.SilenceEvent{Action: notify.SilenceExpired, ID: "s", GlobalNamespace: "shop", Service: "c", SLO: "a", Tier: "page", Reason: "r", Author: "alice", StartsAt: at.String(), EndsAt: at.String(), ExpiredBy: "bob"},
		},
		notify.WatchdogEventType: {notify.WatchdogEvent{Alert: "Watchdog", Severity: "none", Targets: 1, Firing: 2, Pending: 3, DeadLetters: 4}},
	}
}

func TestSchemasSayWhatIsSent(t *testing.T) {
	// A consumer that trusts the published schema would break on the first event, or never learn of a new field.
	types, err := cloudevents.Types()
	if err != nil {
		t.Fatal(err)
	}
	all := samples()
	for _, typ := range types {
		s := readSchema(t, typ.Schema)
		values := all[typ.Name]
		if len(values) == 0 {
			t.Errorf("%s is published and no struct of the code is known for it", typ.Name)
			continue
		}
		delete(all, typ.Name)
		for _, diff := range compare(typ.Key, reflect.TypeOf(values[0]), &s) {
			t.Error(diff)
		}
		raw := []json.RawMessage{typ.Example}
		for _, v := range values {
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			raw = append(raw, b)
		}
		for _, b := range raw {
			var v any
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			for _, bad := range s.validate(typ.Key, v) {
				t.Errorf("%s: %s", bad, b)
			}
		}
	}
	for name := range all {
		t.Errorf("%s is sent and not published", name)
	}
}

func TestTheTestSees(t *testing.T) {
	// The test above would pass whatever the schemas say.
	types, err := cloudevents.Types()
	if err != nil {
		t.Fatal(err)
	}
	s := readSchema(t, types[0].Schema)
	for _, bad := range []string{`{}`, `[]`, `{"id":5}`} {
		var v any
		if err := json.Unmarshal([]byte(bad), &v); err != nil {
			t.Fatal(err)
		}
		if len(s.validate("x", v)) == 0 {
			t.Errorf("%s was valid", bad)
		}
	}
	type other struct {
		ID  int    `json:"id"`
		New string `json:"new"`
	}
	if n := len(compare("x", reflect.TypeFor[other](), &s)); n < 10 {
		t.Errorf("only %d differences to another struct", n)
	}
}

func TestSubjects(t *testing.T) {
	// Consumers would subscribe to subjects on which nothing comes.
	types, err := cloudevents.Types()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, typ := range types {
		got = append(got, strings.SplitAfterN(typ.Subject, ".", 4)[0]+strings.SplitAfterN(typ.Subject, ".", 4)[1]+strings.SplitAfterN(typ.Subject, ".", 4)[2])
	}
	var want []string
	for _, prefix := range []string{
		slo.SubjectAlert, slo.SubjectStatusChange, slo.SubjectCorrection, mesh.SubjectDefinition,
		bus.SubjectEvent + "mesh.cluster.", bus.SubjectEvent + "mesh.node.", bus.SubjectEvent + "mesh.service.", bus.SubjectEvent + "mesh.instance.", bus.SubjectEvent + "mesh.member.",
		bus.SubjectEvent + "mesh.group.", bus.SubjectEvent + "mesh.enrolment.", calls.SubjectCall, notify.SubjectDead, notify.SubjectWatchdog, notify.SubjectSilence,
	} {
		want = append(want, bus.PublicSubject(prefix))
	}
	if !slices.Equal(got, want) {
		t.Errorf("published %v, sent %v", got, want)
	}
}
