// Package gc collects garbage: what lies in the repositories of one store and
// nobody needs, while they are pushed to and pulled from. It owns the decision
// what that is; how it is removed without harm to a push at the same moment,
// oci/registry knows (Registry.CollectBlobs and its likes).
//
// A blob goes when nothing that is reachable from its repository's index names
// it, it is older than the delay, and no client has been told of it for as long.
// A manifest without a tag goes likewise, unless an index or its subject holds
// it. Repositories are looked at one by one, each under one version of its
// index; whenever that changes, what is reachable now is kept too.
//
// Invariants: what cannot be read, or understood, is taken for something that
// needs everything. Nothing is written where nothing goes. A time in the future
// is young, and nothing goes by the clock on the wall alone while a registry
// serves the store. Memory is proportional to the blobs of one repository.
package gc
