module github.com/squall-sim/squall/speed

go 1.26.0

require (
	github.com/pion/logging v0.2.4
	github.com/pion/transport/v4 v4.1.3
	github.com/squall-sim/squall v0.0.0
	github.com/stretchr/testify v1.12.1
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/time v0.14.0 // indirect
)

replace github.com/squall-sim/squall => ../
