package overlay

// A sync.Pool has a separate part for each bubble. Neither the collector nor the processor affects it.
var poolSet = set{
	name: "pools",
	edits: []edit{
		fields("sync", "Pool", "squall unsafe.Pointer"),
		begin("sync", "Pool.Put", "if p.squallPut(x) { return }"),
		begin("sync", "Pool.Get", "if x, ok := p.squallGet(); ok { return x }"),
	},
}
