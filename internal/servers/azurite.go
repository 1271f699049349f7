package servers

import "testing"

// Azurite is an emulator of Azure Blob Storage, with the account that every Azurite has.
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
		Key: "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
	}
	host, port, _ := cutPort(a.Address)
	dir := t.TempDir()
	args := []string{"--blobHost", host, "--blobPort", port, "--location", dir, "--silent", "--skipApiVersionCheck", "--disableTelemetry"}
	if tls != nil {
		args = append(args, "--cert", tls.Certificate, "--key", tls.Key, "--oauth", "basic")
	}
	a.Process = Start(t, Command{Path: path, Args: args, Dir: dir, Ready: listening(a.Address)})
	return a
}
