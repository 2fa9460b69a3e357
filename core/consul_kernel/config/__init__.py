"""Configuration: HCL and JSON files, fragments and flags become one merged, validated `AgentConfig`.

`load.load_config` is the one way in; `model` says what comes out; `keys` lists what may be written.
"""
