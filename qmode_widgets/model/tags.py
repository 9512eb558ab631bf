"""What a job's tags say, both ways. The tags are the only store: `attach` rebuilds a workload from them.

    qmode:<run>                          groups the jobs of one `submit` call
    qmode:<run>:<partition>.<of>.<attempt>    the key of one partition's attempt, deterministic: an answer that was lost is
                                         looked up by it
