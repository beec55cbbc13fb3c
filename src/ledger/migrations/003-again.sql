-- A ring that is repeated because its delivery was not looked at for long. Its job mostly waits in a slow lane: it is no backlog.
alter table outbox add column again boolean not null default false;
