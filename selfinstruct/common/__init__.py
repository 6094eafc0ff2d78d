"""What every room uses: records, errors, ids, fields of the config, whole files."""
