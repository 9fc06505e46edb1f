package pyrra

import "evenkeel.dev/mesh"

// The kind as it stands in files.

type file struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Metadata   metadata   `json:"metadata"`
	Spec       spec       `json:"spec"`
	Status     *mesh.Node `json:"status"` // of the operator
}

// metadata has the fields that the Kubernetes API adds too: files are often what kubectl get -o yaml printed.
type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	CreationTimestamp *mesh.Node        `json:"creationTimestamp"`
	Finalizers        *mesh.Node        `json:"finalizers"`
	Generation        *mesh.Node        `json:"generation"`
	ManagedFields     *mesh.Node        `json:"managedFields"`
	OwnerReferences   *mesh.Node        `json:"ownerReferences"`
	ResourceVersion   *mesh.Node        `json:"resourceVersion"`
	SelfLink          *mesh.Node        `json:"selfLink"`
	UID               *mesh.Node        `json:"uid"`
}

type spec struct {
	Description             string     `json:"description"`
	Target                  string     `json:"target"`
	Window                  string     `json:"window"`
	Indicator               indicator  `json:"indicator"`
	Alerting                alerting   `json:"alerting"`
	PartialResponseStrategy *mesh.Node `json:"partial_response_strategy"`
	PerformanceOverAccuracy *mesh.Node `json:"performanceOverAccuracy"`
}

type indicator struct {
	Ratio         *ratio     `json:"ratio"`
	Latency       *latency   `json:"latency"`
	LatencyNative *native    `json:"latencyNative"`
	BoolGauge     *boolGauge `json:"bool_gauge"`
}

type ratio struct {
	Errors   query    `json:"errors"`
	Total    query    `json:"total"`
	Grouping []string `json:"grouping"`
}

type latency struct {
	Success  query    `json:"success"`
	Total    query    `json:"total"`
	Grouping []string `json:"grouping"`
}

type native struct {
	Latency  string   `json:"latency"`
	Total    query    `json:"total"`
	Grouping []string `json:"grouping"`
}

type boolGauge struct {
	Metric   string   `json:"metric"`
	Grouping []string `json:"grouping"`
}

type query struct {
	Metric string `json:"metric"`
}

type alerting struct {
	Disabled   *bool  `json:"disabled"` // the older way to say burnrates: false and absent: false
	Burnrates  *bool  `json:"burnrates"`
	Absent     *bool  `json:"absent"`
	Name       string `json:"name"`
	AbsentName string `json:"absentName"`
}

// burns reports whether there are alerts on burn rates.
func (a *alerting) burns() bool {
	return (a.Disabled == nil || !*a.Disabled) && (a.Burnrates == nil || *a.Burnrates)
}

// absents reports whether there is an alert on absent metrics.
func (a *alerting) absents() bool {
	return (a.Disabled == nil || !*a.Disabled) && (a.Absent == nil || *a.Absent)
}
