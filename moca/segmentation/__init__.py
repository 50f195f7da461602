"""From features to masks: cluster, gate, snap to edges, propose, match, label."""
