package backup_test

func runChild() {}
