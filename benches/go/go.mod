// A path below gRPC's own, since only there may the hash of a request be set, as its xDS resolver does.
module google.golang.org/grpc/portolan

go 1.26.0

require (
	github.com/cespare/xxhash/v2 v2.3.0
	google.golang.org/grpc v1.84.0
)

require (
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)
