package tmc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxListed is how many clusters are read before those of the cluster group are chosen.
const maxListed = 4096

// A listed is one cluster as the service tells it, as far as it is read.
type listed struct {
	FullName fullName `json:"fullName"`
	Meta     struct {
		Labels map[string]string `json:"labels"`
	} `json:"meta"`
	Spec struct {
		ClusterGroupName string `json:"clusterGroupName"`
	} `json:"spec"`
	Status struct {
		Phase                        string `json:"phase"`
		Health                       string `json:"health"`
		InfrastructureProviderRegion string `json:"infrastructureProviderRegion"`
	} `json:"status"`
}

type fullName struct {
	OrgID                 string `json:"orgId"`
	ManagementClusterName string `json:"managementClusterName"`
	ProvisionerName       string `json:"provisionerName"`
	Name                  string `json:"name"`
}

func (l *listed) cluster() Cluster {
	n := l.FullName
	return Cluster{
		Name: n.Name, From: n.ManagementClusterName + "/" + n.ProvisionerName + "/" + n.Name, Labels: l.Meta.Labels, Region: l.Status.InfrastructureProviderRegion,
		Group: l.Spec.ClusterGroupName, Phase: l.Status.Phase, Health: l.Status.Health,
	}
}

// A count is a number that may stand in a string, as whole numbers of 64 bits do in JSON made from protobuf.
type count int

func (c *count) UnmarshalJSON(b []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err != nil || n < 0 {
		return errors.New("totalCount is no whole number from 0")
	}
	*c = count(n)
	return nil
}

type page struct {
	Clusters   []listed `json:"clusters"`
	TotalCount *count   `json:"totalCount"`
}

var errChanged = errors.New("the list of clusters changed while its pages were read")

// list reads all pages. Without a total the first page that is not full is the last.
func (f *Fleet) list(ctx context.Context) ([]listed, error) {
	var out []listed
	var total *count
	seen := map[fullName]bool{}
	for {
		p, err := f.page(ctx, len(out))
		if err != nil {
			return nil, err
		}
		if p.Clusters == nil && p.TotalCount == nil {
			return nil, errors.New("list clusters: the answer is not of the shape that is known: it has neither clusters nor totalCount")
		}
		for _, c := range p.Clusters {
			if c.FullName.Name == "" {
				return nil, errors.New("a cluster of the answer has no name")
			}
			if seen[c.FullName] {
				return nil, errChanged
			}
			seen[c.FullName] = true
		}
		if len(out) > 0 && (total == nil) != (p.TotalCount == nil) || total != nil && p.TotalCount != nil && *total != *p.TotalCount {
			return nil, errChanged
		}
		total, out = p.TotalCount, append(out, p.Clusters...)
		switch {
		case len(out) > maxListed:
			return nil, fmt.Errorf("there are more than %d clusters", maxListed)
		case total != nil && len(out) > int(*total), total != nil && len(p.Clusters) == 0 && len(out) < int(*total):
			return nil, errChanged
		case total != nil && len(out) == int(*total), total == nil && len(p.Clusters) < pageSize:
			return out, nil
		}
	}
}

// page reads one page. An access token that is refused is renewed once.
func (f *Fleet) page(ctx context.Context, offset int) (page, error) {
	query := url.Values{"searchScope.name": {"*"}, "pagination.offset": {strconv.Itoa(offset)}, "pagination.size": {strconv.Itoa(pageSize)}}
	address := f.config.URL + "/v1alpha1/clusters?" + query.Encode()
	for renewed := false; ; renewed = true {
		if err := f.authorize(ctx); err != nil {
			return page{}, err
		}
		body, err := f.send(ctx, "list clusters", func() (*http.Request, error) {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err == nil {
				r.Header.Set("Authorization", "Bearer "+f.access)
			}
			return r, err
		})
		var refused *statusError
		if errors.As(err, &refused) && refused.code == http.StatusUnauthorized && !renewed {
			f.access = ""
			continue
		}
		if err != nil {
			return page{}, err
		}
		var p page
		if err := json.Unmarshal(body, &p); err != nil {
			return page{}, fmt.Errorf("list clusters: the answer is not of the shape that is known: %w", shape(err))
		}
		return p, nil
	}
}

// shape says where an answer differs, and quotes nothing of it.
func shape(err error) error {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Errorf("%q is of another type", t.Field)
	}
	return errors.New("it is not this JSON")
}
