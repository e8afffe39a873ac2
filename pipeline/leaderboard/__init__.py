"""The competition's side: a submission's form, its check, the client, the ledger."""
