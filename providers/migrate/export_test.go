package migrate

// ParsePlain and ParseJSON are the two ways to read a line, AppendEntry the one to write.
var (
	ParseEntry  = parseEntry
	ParsePlain  = parsePlain
	ParseJSON   = parseJSON
	AppendEntry = appendEntry
)
