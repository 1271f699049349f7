package mutants

// argued says of sites why the harness need not notice that they are switched
// off: "flush FUNCTION FILE", without the line. An argument that no site has, or
// whose site is found, fails the run: it is void.
var argued = map[string]string{}
