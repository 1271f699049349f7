package servers

import "testing"

// Azurite is an emulator of Azure Blob Storage, with an account of this run.
type Azurite struct {
	*Process
	Address, Account, Key string
}

// StartAzurite starts Azurite over an empty directory, over TLS if it is given a
// certificate; then it takes tokens of any signer too.
func StartAzurite(t testing.TB, tls *Certificate) *Azurite {
	t.Helper()
	path := Program(t, "azurite")
	a := &Azurite{
		Address: Address(t), Account: "devstoreaccount1",
		Key: Secret("azure"),
	}
	host, port, _ := cutPort(a.Address)
	dir := dataDir(t)
	args := []string{"--blobHost", host, "--blobPort", port, "--location", dir, "--silent", "--skipApiVersionCheck", "--disableTelemetry"}
	if tls != nil {
		args = append(args, "--cert", tls.Certificate, "--key", tls.Key, "--oauth", "basic")
	}
	a.Process = Start(t, Command{Path: path, Args: args, Env: []string{"AZURITE_ACCOUNTS=" + a.Account + ":" + a.Key}, Dir: dir, Ready: listening(a.Address)})
	return a
}
