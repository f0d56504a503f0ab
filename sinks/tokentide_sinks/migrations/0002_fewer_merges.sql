ALTER TABLE events MODIFY SETTING merge_selector_base = 1000
;
