package openslo

import (
	"encoding/json"

	"evenkeel.dev/mesh"
)

// The kinds of OpenSLO v1 as they stand in files. Fields that are understood but not done yet are here too, so that they are
// refused by name and not as unknown.

type metadata struct {
	Name        string                `json:"name"`
	Namespace   string                `json:"namespace"` // not in OpenSLO; Kubernetes has it
	DisplayName string                `json:"displayName"`
	Labels      map[string]*mesh.Node `json:"labels"`
	Annotations map[string]string     `json:"annotations"`
}

// An object is a document of a kind with this spec.
type object[Spec any] struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
}

type sloSpec struct {
	Description     string       `json:"description"`
	Service         string       `json:"service"`
	Indicator       *indicator   `json:"indicator"`
	IndicatorRef    string       `json:"indicatorRef"`
	TimeWindow      []timeWindow `json:"timeWindow"`
	BudgetingMethod string       `json:"budgetingMethod"`
	Objectives      []objective  `json:"objectives"`
	AlertPolicies   []policyItem `json:"alertPolicies"`

	defaults string // which of the default alerts it has, where only one
}

type indicator struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Metadata   *metadata `json:"metadata"`
	Spec       *sliSpec  `json:"spec"`
}

type timeWindow struct {
	Duration  string     `json:"duration"`
	IsRolling *bool      `json:"isRolling"`
	Calendar  *mesh.Node `json:"calendar"`
}

type objective struct {
	DisplayName     string      `json:"displayName"`
	Op              string      `json:"op"`
	Value           *mesh.Node  `json:"value"`
	Target          json.Number `json:"target"`
	TargetPercent   json.Number `json:"targetPercent"`
	TimeSliceTarget *mesh.Node  `json:"timeSliceTarget"`
	TimeSliceWindow *mesh.Node  `json:"timeSliceWindow"`
	Indicator       *indicator  `json:"indicator"`
	IndicatorRef    string      `json:"indicatorRef"`
	CompositeWeight *mesh.Node  `json:"compositeWeight"`
}

type sliSpec struct {
	Description     string       `json:"description"`
	ThresholdMetric *metric      `json:"thresholdMetric"`
	RatioMetric     *ratioMetric `json:"ratioMetric"`
}

type ratioMetric struct {
	Counter *bool   `json:"counter"`
	Good    *metric `json:"good"`
	Bad     *metric `json:"bad"`
	Total   *metric `json:"total"`
	RawType string  `json:"rawType"`
	Raw     *metric `json:"raw"`
}

type metric struct {
	MetricSource *metricSource `json:"metricSource"`
}

type metricSource struct {
	MetricSourceRef string     `json:"metricSourceRef"`
	Type            string     `json:"type"`
	Spec            *mesh.Node `json:"spec"` // its fields depend on the type
}

// querySpec is the spec of a metric source of type Prometheus.
type querySpec struct {
	Query string `json:"query"`
}

type policyItem struct {
	AlertPolicyRef string      `json:"alertPolicyRef"`
	APIVersion     string      `json:"apiVersion"`
	Kind           string      `json:"kind"`
	Metadata       *metadata   `json:"metadata"`
	Spec           *policySpec `json:"spec"`

	result *policyResult // once compiled
}

type policySpec struct {
	Description         string          `json:"description"`
	AlertWhenNoData     *bool           `json:"alertWhenNoData"`
	AlertWhenResolved   *bool           `json:"alertWhenResolved"`
	AlertWhenBreaching  *bool           `json:"alertWhenBreaching"`
	Conditions          []conditionItem `json:"conditions"`
	NotificationTargets []targetItem    `json:"notificationTargets"`
}

type conditionItem struct {
	ConditionRef string         `json:"conditionRef"`
	APIVersion   string         `json:"apiVersion"`
	Kind         string         `json:"kind"`
	Metadata     *metadata      `json:"metadata"`
	Spec         *conditionSpec `json:"spec"`
}

type targetItem struct {
	TargetRef  string     `json:"targetRef"`
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Metadata   *mesh.Node `json:"metadata"`
	Spec       *mesh.Node `json:"spec"`
}

type conditionSpec struct {
	Description string     `json:"description"`
	Severity    string     `json:"severity"`
	Condition   *condition `json:"condition"`
}

type condition struct {
	Kind           string      `json:"kind"`
	Op             string      `json:"op"`
	Threshold      json.Number `json:"threshold"`
	LookbackWindow string      `json:"lookbackWindow"`
	AlertAfter     string      `json:"alertAfter"`
}

type targetSpec struct {
	Description string `json:"description"`
	Target      string `json:"target"`
}

type serviceSpec struct {
	Description string `json:"description"`
}

type sourceSpec struct {
	Description       string     `json:"description"`
	Type              string     `json:"type"`
	ConnectionDetails *mesh.Node `json:"connectionDetails"`
}
