package overlay

// sets lists all changes.
var sets = []set{schedulerSet, pointSet, lockSet, randomSet, poolSet, mapSet, hostSet}
