package kube

import (
	"encoding/json"
	"testing"

	"evenkeel.dev/mesh/inventory"
)

// encoded returns an observation as the log gets it, and checks that it is read back.
func encoded(t testing.TB, o inventory.Observation) []byte {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inventory.Decode(data); err != nil {
		t.Error(err)
	}
	return data
}
