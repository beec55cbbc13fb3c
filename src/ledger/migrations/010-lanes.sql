-- How many more attempts may begin at a destination where at most so many are in flight. Whoever asks keeps the destination to itself
-- until its transaction ends; meanwhile all others are told 0, and nobody waits. Two processes that claim at the same instant would
-- otherwise each count without the other. A function, because its later statements see what was committed since the claim began.
create function free_places(lane text, concurrency integer) returns integer language plpgsql as $$
begin
  perform from paces where destination = lane for no key update skip locked;
  if not found then
    -- Two that both add the row would wait for each other.
    if not pg_try_advisory_xact_lock(hashtextextended(lane, 10)) then
      return 0;
    end if;
    insert into paces (destination, next_at) values (lane, '-infinity') on conflict do nothing;
    if not found then
      return 0;
    end if;
  end if;
  -- Nothing leaves after its lease.
  return concurrency
    - (select count(*) from deliveries where destination = lane and state = 'sending' and lease_until > clock_timestamp());
end
$$;

-- Takes the next step of a destination's rate limit, if it has come. One further away than a step is of a slower limit that was
-- replaced, or of a clock that was set back.
create function take_step(lane text, step_ms integer) returns boolean language plpgsql as $$
declare
  at timestamptz := clock_timestamp();
  step interval := step_ms * interval '1 ms';
begin
  update paces set next_at = at + step where destination = lane and (next_at <= at or next_at > at + step);
  return found;
end
$$;
