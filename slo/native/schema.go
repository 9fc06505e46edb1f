package native

import "evenkeel.dev/mesh"

// The kind as it stands in files. What is understood but not done yet is here too, so that it is refused by name.

type document struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   mesh.Metadata `json:"metadata"`
	Spec       spec          `json:"spec"`
}

type spec struct {
	Description     string     `json:"description"`
	GlobalNamespace string     `json:"globalNamespace"`
	TargetRef       *targetRef `json:"targetRef"`
	Type            string     `json:"type"`
	Objective       *mesh.Node `json:"objective"`
	Window          *window    `json:"window"`
	SLI             *sli       `json:"sli"`
	OnNoData        string     `json:"onNoData"`
	Budgeting       *budgeting `json:"budgeting"`
	GroupBy         *groupBy   `json:"groupBy"`
	Composite       *composite `json:"composite"`
	Alerts          *alerts    `json:"alerts"`
}

type targetRef struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

type window struct {
	Rolling  string `json:"rolling"`
	Calendar string `json:"calendar"`
	TimeZone string `json:"timeZone"`
}

type budgeting struct {
	Method string `json:"method"`
	Slice  *slice `json:"slice"`
}

type slice struct {
	Length string     `json:"length"`
	Target *mesh.Node `json:"target"`
}

type sli struct {
	Source       string            `json:"source"`
	Availability *availability     `json:"availability"`
	Latency      *latency          `json:"latency"`
	Match        map[string]string `json:"match"`
	Percentiles  bool              `json:"percentiles"`
	Interpolate  bool              `json:"interpolate"` // of queries; a source's latency has its own
	Good         string            `json:"good"`
	Bad          string            `json:"bad"`
	Total        string            `json:"total"`
}

type groupBy struct {
	Labels []string `json:"labels"`
	Max    int      `json:"max"`
	Alerts string   `json:"alerts"`
}

type composite struct {
	Method  string   `json:"method"`
	Members []member `json:"members"`
}

type member struct {
	Service   string     `json:"service"`
	SLO       string     `json:"slo"`
	Weight    *mesh.Node `json:"weight"`
	Objective *mesh.Node `json:"objective"`
}

type availability struct {
	Errors      []*mesh.Node `json:"errors"`
	TanzuErrors bool         `json:"tanzuErrors"`
}

type latency struct {
	Threshold   string     `json:"threshold"`
	Percentile  *mesh.Node `json:"percentile"` // with Timeslices: the slices' target in other words
	AnyBucket   bool       `json:"anyBucket"`
	Interpolate bool       `json:"interpolate"`
}

type alerts struct {
	BurnRate    *burnRate   `json:"burnRate"`
	BudgetSpent []string    `json:"budgetSpent"`
	Exhaustion  string      `json:"exhaustion"`
	Absent      string      `json:"absent"`
	LowTraffic  *bool       `json:"lowTrafficGuard"`
	NotifyRefs  []notifyRef `json:"notifyRefs"`
	Runbook     string      `json:"runbook"`
}

type burnRate struct {
	Tiers []string `json:"tiers"`
}

type notifyRef struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}
