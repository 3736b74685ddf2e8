"""What every room needs: files, progress bars, the command line, the machine."""
