package slo

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A GroupByError says what is wrong with labels to group by.
type GroupByError struct {
	Label           int // index of the label; -1 where it is about all of them
	message, advice string
}

// Error returns what is wrong, with what would be right.
func (e *GroupByError) Error() string { return e.message + " (" + e.advice + ")" }

// Reason returns what is wrong.
func (e *GroupByError) Reason() string { return e.message }

// Hint returns what would be right.
func (e *GroupByError) Hint() string { return e.advice }

// CheckGroupBy checks labels to group by, for a compiler that knows where each stands. The error is a *GroupByError.
func CheckGroupBy(labels []string) error {
	for i, l := range labels {
		switch {
		case l == "":
			return &GroupByError{i, "an empty name of a label", "write labels that the series have, for example region"}
		case strings.HasPrefix(l, "__"):
			return &GroupByError{i, fmt.Sprintf("%q cannot tell groups: labels that begin with __ are Prometheus' own", l), "name a label that the series have, for example region"}
		case len(l) > maxGroupLabel || !utf8.ValidString(l):
			return &GroupByError{i, "the name of a label is too long, or no text", fmt.Sprintf("it has at most %d bytes", maxGroupLabel)}
		case slices.Contains(labels[:i], l):
			return &GroupByError{i, fmt.Sprintf("the label %q stands twice", l), "keep one of them"}
		}
	}
	if len(labels) > MaxGroupLabels {
		return &GroupByError{-1, fmt.Sprintf("%d labels; at most %d are allowed", len(labels), MaxGroupLabels), "each combination of their values is an SLO of its own"}
	}
	return nil
}

// CheckGroupSplit looks, among the labels that the objective groups by, for one by which its good events are told from the others: each
// group would be all good or all bad. The error is a *GroupByError.
func (o *Objective) CheckGroupSplit() error {
	part := o.SLI.Good
	if o.SLI.Bad != nil {
		part = o.SLI.Bad
	}
	if part == nil {
		return nil
	}
	for i, l := range o.GroupBy {
		if !slices.Equal(conditions(part, l), conditions(&o.SLI.Total, l)) {
			return &GroupByError{i, fmt.Sprintf("the label %q tells good events from bad ones, so each group would be all good or all bad", l), "group by a label that good (or bad) and total select alike"}
		}
	}
	return nil
}

// conditions returns what an expression asks of a label, sorted, each once.
func conditions(e *Expr, label string) []string {
	var out []string
	for i := range e.Terms {
		for _, m := range e.Terms[i].Selector.Matchers() {
			if m.Name == label {
				out = append(out, string(m.Type)+m.Value)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// GroupAlerts lists the answers to who alerts.
func GroupAlerts() []string { return []string{GroupAlertsGroups, GroupAlertsRollUp, GroupAlertsBoth} }
