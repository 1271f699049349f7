// Package kubernetes keeps entries as objects of a Kubernetes cluster. Importing it
// registers the backend "kubernetes".
//
// # Objects
//
// Each entry is an object of its own, so that the cluster's limit of 1 MiB bounds none
// of them together, and so that a compare-and-swap of an entry is one of its object's
// resourceVersion, which is its revision; of a Lease with its UID, without which an update
// makes again what is gone:
//
//	ConfigMap NAME.KEY          of most entries: binaryData["value"]
//	Secret    SECRETNAME.KEY    of those whose keys begin with a prefix in SecretPrefixes:
//	                            data["value"]
//	Lease     NAME.KEY          of those whose keys begin with "lease/", of package lease:
//	                            an annotation, in base64; holderIdentity is who wrote last
//	ConfigMap NAME              the settings that every client must have alike
//
// KEY is the key in base32 with the digits of "base32hex" (RFC 4648, section 7) in lower
// case, without padding: its order is that of the keys, and it has no letter that a name
// may not have. An annotation shows the key, quoted. A label groups the entries whose keys
// have the same first part, up to a slash, so that a list of a prefix with a slash does
// not transfer others.
//
// A value that is larger than one object takes is sharded: the entry's object names parts,
// objects NAME.part.ID.N or Secrets likewise, which are written before it, and removed
// after it was replaced. What a crash leaves of them Compact removes.
//
// # Consistency
//
// Reads ask for the newest state, never for one of a cache of the API server. Entries
// have no TTL: Kubernetes ends no object by itself. There is no Clock either: the time in
// answers is that of whichever API server gives it. Leases of package lease are therefore
// taken over by who saw them unchanged, with whatever clocks.
//
// Transactions are those of package intent, which providers puts above; Watch is of the
// objects, beneath them.
//
// # Rights
//
// examples/kubernetes has what a client may do, and no more: get, list, watch, create,
// update and delete ConfigMaps, Secrets and Leases of its namespace.
package kubernetes
