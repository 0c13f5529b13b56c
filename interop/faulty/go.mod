module github.com/squall-sim/squall/interop/faulty

go 1.26.0

require (
	github.com/libp2p/go-yamux v1.2.3
	github.com/libp2p/go-yamux/v5 v5.0.0
	github.com/squall-sim/squall v0.0.0
	github.com/stretchr/testify v1.12.1
	google.golang.org/grpc v1.60.0
)

require (
	github.com/golang/protobuf v1.5.3 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/libp2p/go-buffer-pool v0.0.2 // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/spf13/pflag v1.0.10 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20231002182017-d307bd883b97 // indirect
	google.golang.org/protobuf v1.31.0 // indirect
)

tool github.com/squall-sim/squall/cmd/squall

replace github.com/squall-sim/squall => ../../
