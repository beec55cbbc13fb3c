-- Where a kind would look for a lost message: what of a destination's configuration decides that, and no secret (adapter.ts, `place`).
-- A delivery keeps the place of its newest send, because the destination may be replaced before anybody looks.
alter table destinations add column place jsonb;
alter table deliveries add column place jsonb;

update destinations set place = case kind
  when 'slack' then jsonb_build_object('service', rtrim(settings ->> 'apiUrl', '/'), 'channel', settings ->> 'channel')
  when 'teams' then jsonb_build_object('service', rtrim(settings ->> 'apiUrl', '/'), 'teamId', settings ->> 'teamId',
                                       'channelId', settings ->> 'channelId')
  -- The account is sealed: as long as it is not known, no look is narrowed to it.
  when 'jira' then jsonb_build_object('service', rtrim(settings ->> 'apiUrl', '/'), 'project', settings ->> 'projectKey')
end where kind in ('slack', 'teams', 'jira');
