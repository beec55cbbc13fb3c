-- Who deletes a broadcast by hand deletes what is of it, as the references did that 012-lean.sql dropped: a due delivery without its
-- broadcast can neither be claimed nor ended, and stands before all others at its destination. Only deletions pay for this.
create function delete_deliveries() returns trigger language plpgsql as $$
begin
  delete from deliveries where broadcast_id = old.id and (role = 'message' or role = 'callback');
  return null;
end
$$;
create trigger broadcasts_deleted after delete on broadcasts for each row execute function delete_deliveries();

create function delete_attempts() returns trigger language plpgsql as $$
begin
  delete from attempts where delivery_id = old.id;
  return null;
end
$$;
create trigger deliveries_deleted after delete on deliveries for each row execute function delete_attempts();
