"""The selective scan of Mamba (S6; Gu & Dao, 2023), without anything to compile; `api.selective_scan` is the way in."""
