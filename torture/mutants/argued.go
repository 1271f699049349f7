package mutants

// argued says of sites, without their line, why the harness need not notice that
// they are switched off.
var argued = map[string]string{}
