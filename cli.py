from hoimg.cli.main import main

main()
