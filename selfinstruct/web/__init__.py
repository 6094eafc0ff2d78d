"""The web service over a folder of runs: pages for people, REST for programs."""
