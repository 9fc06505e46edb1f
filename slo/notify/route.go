package notify

// route returns the keys of the targets, sorted and each once, that an alert of a global namespace goes to, and the names for
// which there is none ("" where none is named and there is no default).
func (s *Stage) route(globalNamespace string, names []string) (keys, missing []string) {
	globalNamespace = orDefault(globalNamespace)
	if len(names) == 0 {
		names = []string{""}
	}
	hit := map[string]bool{}
	for _, name := range names {
		found := s.find(globalNamespace, name)
		if len(found) == 0 {
			found = s.find("default", name)
		}
		if len(found) == 0 {
			missing = append(missing, name)
		}
		for _, k := range found {
			hit[k] = true
		}
	}
	for _, k := range s.order {
		if hit[k] {
			keys = append(keys, k)
		}
	}
	return keys, missing
}

// find returns the targets of one global namespace with the name, or its default targets for "".
func (s *Stage) find(globalNamespace, name string) []string {
	var all, found []string
	for _, k := range s.order {
		t := &s.targets[k].Target
		if t.GlobalNamespace != globalNamespace {
			continue
		}
		all = append(all, k)
		if name == t.Name || name == "" && (t.Default || t.Name == "default") {
			found = append(found, k)
		}
	}
	if name == "" && len(found) == 0 && len(all) == 1 {
		return all
	}
	return found
}
