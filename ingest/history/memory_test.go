package history

import (
	"fmt"
	"testing"

	"evenkeel.dev/bus"
	"evenkeel.dev/slo"
)

// A unit test would run over other samples than it says, or in another order.
func TestMemory(t *testing.T) {
	series := func(name string, at ...bus.Time) slo.Recording {
		r := slo.Recording{Labels: bus.Labels{{Name: "__name__", Value: name}}, Times: at}
		for range at {
			r.Values = append(r.Values, float64(len(r.Values)))
		}
		return r
	}
	m := NewMemory("a", []slo.Recording{series("b", 10, 20, 30), series("a", 20, 25, 40), series("c", 20)})
	sel, err := bus.NewSelector([]bus.Matcher{{Name: "__name__", Type: bus.MatchRegexp, Value: "a|b"}})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	err = m.Read(t.Context(), Query{Selectors: []bus.Selector{sel}, From: 20, To: 40}, func(mo *Moment) error {
		got += fmt.Sprint(mo.Time, ":")
		for i, s := range mo.Series {
			got += fmt.Sprint(" ", s.Labels[0].Value, "=", mo.Values[i])
		}
		got += "; "
		return nil
	})
	const want = "1970-01-01T00:00:00.020Z: a=0 b=1; 1970-01-01T00:00:00.025Z: a=1; 1970-01-01T00:00:00.030Z: b=2; "
	if err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}
