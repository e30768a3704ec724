from hoimg.cli.main import main

# A worker of a batch imports this file again, and must not start another batch.
if __name__ == "__main__":
    main()
