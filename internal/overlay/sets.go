package overlay

// sets are all that is changed.
var sets = []set{hostSet}
