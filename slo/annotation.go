package slo

import "fmt"

// Annotations by which files in the forms of others ask for what those have no field for.
const (
	AnnotationPercentiles = "evenkeel.dev/percentiles" // "true": figures of how long requests took
	AnnotationInterpolate = "evenkeel.dev/interpolate" // "true": a threshold may lie between two buckets
)

// Annotate takes over what annotations ask for. An error is about the annotation that is returned with it.
func (o *Objective) Annotate(texts map[string]string) (annotation string, err error) {
	for _, a := range []struct {
		name string
		into *bool
	}{{AnnotationPercentiles, &o.Percentiles}, {AnnotationInterpolate, &o.SLI.Interpolate}} {
		switch text, ok := texts[a.name]; {
		case ok && text != "true" && text != "false":
			return a.name, fmt.Errorf("%s must be \"true\" or \"false\", found %q", a.name, text)
		default:
			*a.into = text == "true"
		}
	}
	return "", nil
}

// Annotations returns what [Objective.Annotate] takes over again.
func (o *Objective) Annotations() map[string]string {
	out := map[string]string{}
	if o.Percentiles {
		out[AnnotationPercentiles] = "true"
	}
	if o.SLI.Interpolate {
		out[AnnotationInterpolate] = "true"
	}
	return out
}
