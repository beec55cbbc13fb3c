-- A ring for a delivery whose job the queue is still keeping for later, and that is to be woken.
alter table outbox add column hurry boolean not null default false;
