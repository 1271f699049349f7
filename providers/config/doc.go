// Package config reads which persistence providers there are, how each is set up,
// and which of them serves what: from TOML, JSON, the environment, or a program.
//
//	c, err := config.Read("orbit.toml", os.Environ())
//	name, backend, err := c.Provider(c.Server.PersistenceBackend)
//	switch b := backend.(type) {
//	case config.LsmTree:
//		// b.DataDir, b.MemtableSize, … with every default filled in, and validated
//	}
//
// Package providers/all opens what was read.
//
// # A file
//
//	[server]
//	persistence_backend = "records"   # a provider's name, or a backend; see below
//	data_dir = "/var/lib/orbit"       # local providers lie below it unless told
//
//	[defaults]
//	addressable = "records"           # keeps the leases
//	cluster = "etcd"                  # keeps the nodes
//
//	[providers.records]
//	type = "LsmTree"
//	memtable_size_mb = 64
//
//	[providers.etcd]
//	type = "Etcd"
//	endpoints = ["https://etcd-0:2379"]
//
// JSON has the same tables. A file may also be one backend alone: its options,
// without any table, of the backend that its type names or that is selected. Each
// backend has one struct here; OPTIONS.md lists their options, with defaults, ranges
// and variables, and a test holds it to the structs.
//
// # Values
//
// A size is a number in the unit that OPTIONS.md gives, or a string with one: B,
// KiB, MiB, GiB, TiB. A duration is a number of seconds, or a string: "250ms",
// "1m30s". Words are read in any case. A compression is a word, or true for the
// backend's usual one and false for none.
//
// Names, values and spellings are those of the specification that Orbit starts from,
// each of whose snippets is read as it stands. Where its first implementation spells
// an option in another way, that is read too; setting one option in two spellings
// is a mistake. Spellings is the table of the names of backends.
//
// # The environment
//
// ORBIT_<BACKEND>_<OPTION> sets an option over what the file says:
// ORBIT_S3_BUCKET, ORBIT_MEMORY_DISK_BACKUP_PATH, with lists separated by commas.
// It reaches the provider whose name is the backend's selector, else the only
// provider of that backend; if there is none, it makes one. Of the sections,
// ORBIT_PERSISTENCE_BACKEND selects, and ORBIT_SERVER_DATA_DIR,
// ORBIT_DEFAULTS_ADDRESSABLE and ORBIT_DEFAULTS_CLUSTER set what their names say. An
// empty variable is set to the empty value. Variables that Kubernetes makes for a
// service, as ORBIT_REDIS_SERVICE_HOST, are left alone.
//
// # Selection
//
// What is selected, by ORBIT_PERSISTENCE_BACKEND, persistence_backend or
// [defaults], is a provider's name or any spelling of a backend, which is the
// provider of that backend, made with defaults if there is none. If nothing is
// selected, the only provider is; if there are several, the one called lsm_tree;
// and if there is none at all, an lsm_tree with its defaults. Everything else is an
// error: nothing is ever taken in the place of what was asked for.
//
// # Strictness
//
// Unknown keys, sections and variables, wrong types, values out of range, missing
// options, contradictions, and two providers in one directory are errors. All
// mistakes are reported at once, each as an Error that names the file, line and
// column, or the variable, and the option, and suggests the nearest name. An
// option that no engine can honour is refused with the reason, as
// engine.ErrUnsupported; every other mistake is engine.ErrInvalid.
//
// # Secrets
//
// Passwords and keys are of type Secret: no error, log, String, JSON or verb of fmt
// shows them. Addresses hold none: the user and password of a redis:// URL move to
// their options, and in any other address they are refused.
package config
