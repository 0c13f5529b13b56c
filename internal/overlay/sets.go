package overlay

// sets are all that is changed.
var sets = []set{schedulerSet, pointSet, lockSet, randomSet, poolSet, mapSet, hostSet}
