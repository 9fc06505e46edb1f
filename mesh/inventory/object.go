package inventory

// applyObjects takes what an observation tells of: namespaces first, since services stand in them.
func (s *Stage) applyObjects(c *cluster, o *Observation) {
	for i := range o.Namespaces {
		n := &o.Namespaces[i]
		if s.admit(c, Key{Kind: KindNamespace, Name: n.Name}, c.namespaces[n.Name] != nil) {
			c.namespaces[n.Name] = n
			c.touchNamespace(n.Name)
			c.rehome = true
		}
	}
	for i := range o.Nodes {
		n := &o.Nodes[i]
		if old := c.nodes[n.Name]; s.admit(c, Key{Kind: KindNode, Name: n.Name}, old != nil) {
			c.nodes[n.Name] = n
			s.tellNode(c, n, old)
		}
	}
	for i := range o.Hosts {
		h := &o.Hosts[i]
		p := place{h.Namespace, h.Name}
		if s.admit(c, Key{KindHost, h.Namespace, h.Name}, c.hosts[p] != nil) {
			c.hosts[p] = h
			c.touchNamespace(h.Namespace)
		}
	}
	for i := range o.Workloads {
		w := &o.Workloads[i]
		if s.admit(c, w.key(), c.workloads[w.key()] != nil) {
			c.setWorkload(w)
		}
	}
	for i := range o.Instances {
		x := &o.Instances[i]
		p := place{x.Namespace, x.Name}
		if old := c.instances[p]; s.admit(c, Key{KindInstance, x.Namespace, x.Name}, old != nil) {
			c.setInstance(x)
			s.tellInstance(c, x, old)
		}
	}
}

// admit notes that a listing has told of an object, and reports whether there is room for it.
func (s *Stage) admit(c *cluster, k Key, known bool) bool {
	if !known && c.objects() >= ObjectsMax {
		s.stats.Over++
		c.over++
		return false
	}
	if c.listed != nil {
		c.listed[k] = true
	}
	return true
}

// drop forgets an object.
func (s *Stage) drop(c *cluster, k Key) {
	p := place{k.Namespace, k.Name}
	switch k.Kind {
	case KindNamespace:
		delete(c.namespaces, k.Name)
		c.touchNamespace(k.Name)
		c.rehome = true
	case KindNode:
		if n := c.nodes[k.Name]; n != nil {
			delete(c.nodes, k.Name)
			s.event(EventNode, NodeEvent{ActionDeleted, c.name, *n}, Organisation, c.name, n.Name)
			s.regroup = true
		}
	case KindHost:
		delete(c.hosts, p)
		c.touchNamespace(k.Namespace)
	case KindInstance:
		if old := c.dropInstance(p); old != nil {
			s.instanceEvent(c, ActionDeleted, old)
		}
	default:
		c.dropWorkload(k)
	}
}
