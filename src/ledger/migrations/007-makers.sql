-- What failed is counted for the metrics, up to a bound for each destination and state. Rows come here only when they fail.
create index deliveries_failed on deliveries (destination, state)
  where role = 'message' and state in ('dead', 'unknown', 'expired');
create index deliveries_failed_callbacks on deliveries (state)
  where role = 'callback' and state in ('dead', 'unknown', 'expired');
