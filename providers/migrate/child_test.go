package migrate_test

func runChild() {}
