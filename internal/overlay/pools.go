package overlay

// A sync.Pool has a part for each bubble, which neither the collector nor the processor has a say in.
var poolSet = set{
	name: "pools",
	edits: []edit{
		fields("sync", "Pool", "squall unsafe.Pointer"),
		begin("sync", "Pool.Put", "if p.squallPut(x) { return }"),
		begin("sync", "Pool.Get", "if x, ok := p.squallGet(); ok { return x }"),
	},
}
