-- The log of a whole organization: all lines in the order of their moments. The index alone says how many there are in a
-- stretch of time and which are at a place in it, without reading a line; and its beginning is what the histogram reads by.
-- It holds lines of logs only, which are a small part of the events, and grows at its end: the path of the events pays one
-- more entry for each line. Every operator that it is used with is leakproof, so it is used beneath the policies too.
--
-- A run's own log needs nothing new: `run_events_logs (organization_id, run_id, seq)` is walked for counting and for
-- windows. Levels, steps, agents and texts are not indexed: what fits a filter is looked for once and then remembered,
-- line by line as they come, by the process that was asked; an index on `data ->> 'level'` could not answer alone, as an
-- index never gives back the value of an expression, and would cost every line for that.
create index run_events_logs_by_time on run_events (organization_id, at, run_id, seq) where kind = 'log';
