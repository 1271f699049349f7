package cowbtree

// RaceEnabled says that opening a store takes long, since its memory is cleared.
const RaceEnabled = raceEnabled
