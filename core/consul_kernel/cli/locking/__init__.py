"""What `consul-kernel lock` is made of: a session that is kept alive, a lock or a semaphore, and a child process."""
